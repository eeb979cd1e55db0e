from collections.abc import Iterator
from contextlib import contextmanager

# Stands in reasons that lie in the machine and not in the data; see `logs.note_tries`.
TRIED_AGAIN = "the next run tries again"
_MEMORY = f"Memory ran out: give the run more of it, or fewer cores; {TRIED_AGAIN}."


# Of a patient whose job ended without a word whenever it was tried.
STOPPED = (
    "The job was stopped, as a system does whose memory runs out: give the run more of it, or fewer cores; "
    f"{TRIED_AGAIN}."
)


class InputError(ValueError):
    """Something in the user's input that the user can mend.

    The message is one sentence for a radiologist: what is wrong, where, and what to do. It never holds a patient's
    name, a file path or an original DICOM UID, since it is printed in reports.
    """


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn all errors that say that memory ran out, ITK's too, into a `MemoryError` with a sentence for the user."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(_MEMORY) from error
    except RuntimeError as error:  # what ITK raises
        if "allocate memory" in str(error) or "bad_alloc" in str(error):
            raise MemoryError(_MEMORY) from error
        raise
