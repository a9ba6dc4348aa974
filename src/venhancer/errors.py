"""Errors a user can meet. Each message says what was given, what is allowed and what to do, in one line."""


class VEnhancerError(Exception):
    """Root of every error raised for something outside the program; the command line prints it and exits 2."""


class InputError(VEnhancerError):
    """The source or target file cannot be used."""


class SettingsError(VEnhancerError):
    """A setting has no valid meaning for this clip or model."""


class WeightsError(VEnhancerError):
    """Model weights are missing, damaged or not what they claim to be."""


class JobFailed(VEnhancerError):  # noqa: N818 - it names what happened, not what is wrong
    """Work that began correctly could not be finished."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a stop request, after finished work is safe; the message says what is kept and what to do."""
