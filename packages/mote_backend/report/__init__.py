"""A profile, a selection and a verdict as one page and as a picture."""
