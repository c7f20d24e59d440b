"""What can go wrong in kb_tools: one small tree, each message one sentence that says how to mend it."""


class KBError(Exception):
    """Base class of everything that kb_tools raises on purpose."""


class KBInputError(KBError, ValueError):
    """An argument that cannot be used: an empty query, a k below 1, a name that is no name."""


class UnknownKBError(KBError, LookupError):
    """No knowledge base of this name; the message names those that exist."""


class KBExistsError(KBError):
    """A knowledge base of this name exists already, with other settings."""


class EmbeddingMismatchError(KBError):
    """The collection was made with another embedding; the message says how to rebuild it."""


class KBLockedError(KBError):
    """Another process is writing to this folder; one writer at a time."""


class KBFormatError(KBError):
    """The folder was written by a newer version, or is not a folder of knowledge bases."""


class KBStorageError(KBError):
    """The disk is full, the folder cannot be written, or the Chroma server does not answer."""


class UnreadableFileError(KBError):
    """A file that cannot be read; the loader reports it by name and goes on."""


class SQLError(KBError):
    """A statement that the read-only SQL tool refused or could not finish."""


class MissingExtraError(KBError, ImportError):
    """A part of the package needs an extra that is not installed; the message gives the pip line."""
