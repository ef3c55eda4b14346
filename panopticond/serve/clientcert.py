"""Client certificates: which ones the server's TLS takes, and whose the connection of a request showed.

Between ``app``, which opens TLS with it, and ``accounts``, which knows the owners. The accounts' very certificates are
what is trusted, not an authority: nobody else's chain gets in, and a certificate is withdrawn by taking it out of the
configuration. Without one a connection is as good as before: it may sign in with a password.
"""

from __future__ import annotations

import contextvars
import ssl
from collections.abc import Sequence

_SHOWN: contextvars.ContextVar[bytes | None] = contextvars.ContextVar("client certificate", default=None)


class _Witness(ssl.SSLObject):
    """TLS of one connection; once the handshake is done, its task and all it starts know the client's certificate."""

    def do_handshake(self) -> None:
        """As ever; raises ``ssl.SSLWantReadError`` until it is done."""
        super().do_handshake()
        _SHOWN.set(self.getpeercert(binary_form=True))


def shown() -> bytes | None:
    """The verified certificate (DER) of the connection whose request is being answered, or None."""
    return _SHOWN.get()


def ask_for(context: ssl.SSLContext, certificates: Sequence[bytes]) -> None:
    """Let a server's TLS context ask for one of these certificates (DER), which nobody has to show."""
    if not certificates:
        return
    context.load_verify_locations(cadata=b"".join(certificates))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_OPTIONAL
    context.sslobject_class = _Witness
