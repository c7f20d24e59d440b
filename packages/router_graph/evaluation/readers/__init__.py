"""Files of public benchmarks, read where they lie and in the layouts that they have."""
