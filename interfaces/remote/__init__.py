"""A command of this machine, carried out in a cluster that this machine is not part of."""

from bessemer.interfaces.remote._command import address_in, carry_out, without_address

__all__ = ["address_in", "carry_out", "without_address"]
