"""Open an EncryptedAssertion (XML Encryption 1.1, SAML Core §6).

Encryption says nothing about who wrote the assertion: anyone can encrypt to a public key. The caller makes
sure that a signature stands around it or inside. AES-CBC can be taken apart by asking often enough, so it
is opened only where a verified signature already stands around it.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.federation import names
from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.structure import (
    Element,
    decode_base64,
    only_child,
    required_attribute,
    required_child,
    text_of,
)
from gateway.model.reasons import MessageReason

_X = f"{{{names.XENC}}}"
_X11 = f"{{{names.XENC11}}}"
_D = f"{{{names.DS}}}"
ENCRYPTED_DATA = _X + "EncryptedData"
_ENCRYPTED_KEY = _X + "EncryptedKey"
_NAMESPACES = frozenset({names.XENC, names.XENC11, names.DS, names.DS11})
_WINDOWS_HINT = (
    f"{{{names.WSSE}}}SecurityTokenReference"  # Windows Identity Foundation puts X509Data into one
)
# A reference could point out of the message (CipherReference fetches URLs) or make two keys look like one.
_REFUSED = frozenset({_X + "CipherReference", _D + "RetrievalMethod", _X + "Transforms"})

_GCM_KEY_BYTES = {
    names.XENC11 + "aes128-gcm": 16,
    names.XENC11 + "aes192-gcm": 24,
    names.XENC11 + "aes256-gcm": 32,
}
_CBC_KEY_BYTES = {names.XENC + "aes128-cbc": 16, names.XENC + "aes192-cbc": 24, names.XENC + "aes256-cbc": 32}
_OAEP = names.XENC + "rsa-oaep-mgf1p"
_OAEP_11 = names.XENC11 + "rsa-oaep"
_DIGESTS: dict[str, type[hashes.HashAlgorithm]] = {
    "http://www.w3.org/2000/09/xmldsig#sha1": hashes.SHA1,
    names.XENC + "sha256": hashes.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384,
    names.XENC + "sha512": hashes.SHA512,
}
_MASKS: dict[str, type[hashes.HashAlgorithm]] = {
    names.XENC11 + "mgf1sha1": hashes.SHA1,
    names.XENC11 + "mgf1sha256": hashes.SHA256,
    names.XENC11 + "mgf1sha384": hashes.SHA384,
    names.XENC11 + "mgf1sha512": hashes.SHA512,
}
_NONCE_BYTES = 12
_TAG_BYTES = 16
_BLOCK_BYTES = 16


def decrypt_assertion(encrypted: Element, key: rsa.RSAPrivateKey | None, *, signed_around: bool) -> bytes:
    """The bytes of the element inside of an EncryptedAssertion (or of what holds an EncryptedData).

    ``signed_around`` says that a signature which covers ``encrypted`` has been verified; only then AES-CBC
    is opened. Raises MessageRejected (MALFORMED, ALGORITHM_REFUSED); every failure of the decryption
    itself has the same detail. The result is unchecked: parse it as any message, and require its signature.
    """
    if key is None:
        raise malformed("the assertion is encrypted, and the app has no decryption_key configured")
    for element in encrypted.iterdescendants():
        known = names.namespace_of(element.tag) in _NAMESPACES or element.tag == _WINDOWS_HINT
        if not known or element.tag in _REFUSED:
            raise malformed(f"an encrypted assertion has {names.local_name(element.tag)} inside")
    data = required_child(encrypted, ENCRYPTED_DATA)
    method = _method(data)
    algorithm = required_attribute(method, "Algorithm")
    gcm_bytes, cbc_bytes = _GCM_KEY_BYTES.get(algorithm), _CBC_KEY_BYTES.get(algorithm)
    if gcm_bytes is None and (cbc_bytes is None or not signed_around):
        raise _refused(algorithm if cbc_bytes is None else f"{algorithm} without a signature around it")
    content_key = _content_key(_encrypted_key(encrypted, data), key)
    octets = _cipher_value(data)
    if len(content_key) != (gcm_bytes or cbc_bytes):
        raise _failed()
    return _open_gcm(content_key, octets) if gcm_bytes is not None else _open_cbc(content_key, octets)


def _encrypted_key(encrypted: Element, data: Element) -> Element:
    """The one EncryptedKey: in the KeyInfo of the data (usual), or beside the data."""
    key_info = only_child(data, _D + "KeyInfo")
    found = encrypted.findall(_ENCRYPTED_KEY)
    if key_info is not None:
        found += key_info.findall(_ENCRYPTED_KEY)
    if len(found) != 1:
        raise malformed("an encrypted assertion has not exactly one EncryptedKey")
    return found[0]


def _content_key(encrypted_key: Element, key: rsa.RSAPrivateKey) -> bytes:
    method = _method(encrypted_key)
    algorithm = required_attribute(method, "Algorithm")
    digest = only_child(method, _D + "DigestMethod")
    mask = only_child(method, _X11 + "MGF")
    if only_child(method, _X + "OAEPparams") is not None:
        raise _refused("OAEPparams")
    digest_uri = "http://www.w3.org/2000/09/xmldsig#sha1" if digest is None else digest.get("Algorithm", "")
    mask_uri = names.XENC11 + "mgf1sha1" if mask is None else mask.get("Algorithm", "")
    if algorithm not in (_OAEP, _OAEP_11) or (algorithm == _OAEP and mask is not None):
        raise _refused(algorithm)
    if digest_uri not in _DIGESTS or mask_uri not in _MASKS:
        raise _refused(f"{digest_uri} with {mask_uri}")
    oaep = padding.OAEP(
        mgf=padding.MGF1(algorithm=_MASKS[mask_uri]()), algorithm=_DIGESTS[digest_uri](), label=None
    )
    try:
        return key.decrypt(_cipher_value(encrypted_key), oaep)
    except ValueError:
        raise _failed() from None


def _method(holder: Element) -> Element:
    return required_child(holder, _X + "EncryptionMethod")


def _cipher_value(holder: Element) -> bytes:
    value = required_child(required_child(holder, _X + "CipherData"), _X + "CipherValue")
    return decode_base64(text_of(value), "a CipherValue")


def _open_gcm(key: bytes, octets: bytes) -> bytes:
    if len(octets) < _NONCE_BYTES + _TAG_BYTES:
        raise _failed()
    try:
        return AESGCM(key).decrypt(octets[:_NONCE_BYTES], octets[_NONCE_BYTES:], None)
    except InvalidTag:
        raise _failed() from None


def _open_cbc(key: bytes, octets: bytes) -> bytes:
    if len(octets) < 2 * _BLOCK_BYTES or len(octets) % _BLOCK_BYTES:
        raise _failed()
    decryptor = Cipher(algorithms.AES(key), modes.CBC(octets[:_BLOCK_BYTES])).decryptor()
    padded = decryptor.update(octets[_BLOCK_BYTES:]) + decryptor.finalize()
    # XML Encryption §5.2.2: the last octet is the number of padding octets, the others are arbitrary.
    if not 1 <= padded[-1] <= _BLOCK_BYTES:
        raise _failed()
    return padded[: -padded[-1]]


def _failed() -> MessageRejected:
    return malformed("the encrypted assertion does not open with the configured decryption_key")


def _refused(algorithm: str) -> MessageRejected:
    return MessageRejected(
        MessageReason.ALGORITHM_REFUSED, f"the encryption {algorithm[:120]!r} is not accepted"
    )
