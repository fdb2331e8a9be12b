"""Every error that adapter-hub raises on purpose.

AdapterHubError                     exit code 1
  UsageError                        2   what was typed cannot be meant
    OptionError                     2   a method's or dataset's option
    UnknownNameError                2   nothing of that name is known
      UnknownOfferError             2   no method, dataset or base of that name is on offer
  RegistryError                     1   registry.toml is missing, malformed, or cannot be written
    RegistryNotFoundError           1
  DataError                         1   training or prompt rows that cannot be used
  BaseModelError                    1   a base model's files cannot be used
  PluginError                       1   a plugin broke
  TrainingError                     1   a run that cannot go on
  OutOfMemoryError                  1   a model or a batch too large for this machine
  HubError                          1   a Hub refused, cannot be reached, or answers nonsense
  VerificationError                 3   files differ from their recorded digests
  ConflictError                     4   something is already there, or somebody else was faster
  IncompatibleError                 5   an adapter does not belong to this base
  Interrupted                       130 the user stopped it

A message is a sentence that names the object and the cause; ``hint`` is the next command.
"""

from __future__ import annotations


class AdapterHubError(Exception):
    """Base of all errors. ``exit_code`` is what the command line exits with."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def reword(self, message: str) -> None:
        """Say it with another message: of what it is true, where only a caller knows that."""
        self.message = message
        self.args = (message,)


class UsageError(AdapterHubError):
    exit_code = 2


class OptionError(UsageError):
    pass


class UnknownNameError(UsageError):
    pass


class UnknownOfferError(UnknownNameError):
    """``kind`` and ``name`` are what neither adapter-hub nor a plugin that is here offers."""

    def __init__(self, message: str, *, kind: str, name: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.name = name


class RegistryError(AdapterHubError):
    pass


class RegistryNotFoundError(RegistryError):
    pass


class DataError(AdapterHubError):
    pass


class BaseModelError(AdapterHubError):
    pass


class PluginError(AdapterHubError):
    pass


class TrainingError(AdapterHubError):
    pass


class OutOfMemoryError(AdapterHubError):
    pass


class HubError(AdapterHubError):
    pass


class VerificationError(AdapterHubError):
    exit_code = 3


class ConflictError(AdapterHubError):
    exit_code = 4


class IncompatibleError(AdapterHubError):
    exit_code = 5


class Interrupted(AdapterHubError):
    exit_code = 130
