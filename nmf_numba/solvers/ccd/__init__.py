"""Cyclic coordinate descent with the product kept, for the Kullback-Leibler and the Frobenius loss."""
