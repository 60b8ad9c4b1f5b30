"""What certutil cannot do, by libnss3 itself: `python -m gateway.agent.stores.nss_child`.

NSS gives all certificates with one subject one nickname, and certutil knows certificates by nickname only: of
an old and a renewed certificate, `certutil -D -n NAME` deletes the *new* one. Here certificates are named by
their DER.

It reads {"database": path, "action": "keys" | "remove", "certificates": [base64 DER…]} as JSON from standard
input and answers with {"results": [bool…]}, in that order: has it its private key, or: is it gone. Or with
{"failed": "open" | "password" | "library"}. Only functions that take opaque pointers are called, so that no
layout of a C structure but SECItem is relied on. The library is not made to be finished and opened again by
the same process; hence one process for each question.
"""

import base64
import ctypes
import json
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_uint, c_void_p
from typing import Any, ClassVar, Final

LIBRARY: Final = "libnss3.so"


class _Item(Structure):
    """SECItem of secitem.h."""

    _fields_: ClassVar = [("type", c_int), ("data", c_char_p), ("len", c_uint)]


def main() -> None:
    asked = json.load(sys.stdin)
    json.dump(_answer(asked), sys.stdout)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        nss = _library()
    except OSError:
        return {"failed": "library"}
    if nss.NSS_InitReadWrite(f"sql:{asked['database']}".encode()) != 0:
        return {"failed": "open"}
    slot = nss.PK11_GetInternalKeySlot()
    if not slot or nss.PK11_NeedLogin(slot):
        return {"failed": "password"}
    act = _remove if asked["action"] == "remove" else _has_key
    results = [act(nss, base64.b64decode(text)) for text in asked["certificates"]]
    return {"results": results}


def _has_key(nss: ctypes.CDLL, der: bytes) -> bool:
    certificate = _find(nss, der)
    key = nss.PK11_FindKeyByAnyCert(certificate, None) if certificate else None
    return bool(key)


def _remove(nss: ctypes.CDLL, der: bytes) -> bool:
    certificate = _find(nss, der)
    if not certificate:
        return True
    # The first does nothing, and says that it did it, where there is no key.
    if nss.PK11_FindKeyByAnyCert(certificate, None):
        done = nss.PK11_DeleteTokenCertAndKey(certificate, None)
    else:
        done = nss.SEC_DeletePermCertificate(certificate)
    return bool(done == 0)


def _find(nss: ctypes.CDLL, der: bytes) -> int | None:
    item = _Item(0, der, len(der))
    found: int | None = nss.CERT_FindCertByDERCert(nss.CERT_GetDefaultCertDB(), byref(item))
    return found


def _library() -> ctypes.CDLL:
    nss = ctypes.CDLL(LIBRARY)
    nss.NSS_InitReadWrite.argtypes = [c_char_p]
    nss.PK11_GetInternalKeySlot.restype = c_void_p
    nss.PK11_NeedLogin.argtypes = [c_void_p]
    nss.CERT_GetDefaultCertDB.restype = c_void_p
    nss.CERT_FindCertByDERCert.restype = c_void_p
    nss.CERT_FindCertByDERCert.argtypes = [c_void_p, POINTER(_Item)]
    nss.PK11_FindKeyByAnyCert.restype = c_void_p
    nss.PK11_FindKeyByAnyCert.argtypes = [c_void_p, c_void_p]
    nss.PK11_DeleteTokenCertAndKey.argtypes = [c_void_p, c_void_p]
    nss.SEC_DeletePermCertificate.argtypes = [c_void_p]
    return nss


if __name__ == "__main__":
    main()
