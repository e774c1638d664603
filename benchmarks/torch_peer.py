"""torchnmf on the CPU, if it is installed: multiplicative updates for a dense X."""

import functools
import importlib.util


@functools.cache
def installed():
    return importlib.util.find_spec("torchnmf") is not None


def supports(case):
    return installed() and case.solver == "mu" and "csr" not in case.kind


def set_threads(n_threads):
    import torch  # noqa: PLC0415

    torch.set_num_threads(n_threads)


def factorize(X, *, W, H, n_components, init, solver, beta_loss, tol, max_iter):
    """As scikit-learn's function, for a custom start.

    torchnmf factorizes V = H W' and updates its W first. So V is X', its W is W, and its H is H'.
    """
    import torch  # noqa: PLC0415
    from torchnmf.nmf import NMF  # noqa: PLC0415

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if X.dtype == "float64" else torch.float32)  # its parameters' dtype
    try:
        model = NMF(W=torch.from_numpy(W), H=torch.from_numpy(H.T.copy()))
    finally:
        torch.set_default_dtype(before)
    n_iter = model.fit(torch.from_numpy(X.T.copy()), beta=beta_loss, tol=float("-inf"), max_iter=max_iter)
    return model.W.detach().numpy(), model.H.detach().numpy().T, n_iter
