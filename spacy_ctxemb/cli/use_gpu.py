"""The option --gpu-id."""


def use_gpu(gpu_id: int, *, silent: bool = False) -> None:
    """Compute on a GPU, or on the CPU for -1. Raises E521 where that GPU cannot be used."""
    from spacy.cli._util import setup_gpu

    from ..errors import Errors
    from ..read_files import coding_errors

    with coding_errors(Errors.E521, gpu_id=gpu_id):
        setup_gpu(gpu_id, silent=silent)
