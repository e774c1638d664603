"""The beta-divergence: an entry's loss, its weights in the gradient, and the objective that is made of it."""
