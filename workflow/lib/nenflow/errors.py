class InputError(ValueError):
    """Something in the user's input that the user can mend.

    The message is one sentence for a radiologist: what is wrong, where, and what to do. It never holds a patient's
    name, a file path or an original DICOM UID, since it is printed in reports.
    """
