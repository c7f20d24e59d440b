"""A chat model whose Mixture-of-Experts experts can be switched off and on."""
