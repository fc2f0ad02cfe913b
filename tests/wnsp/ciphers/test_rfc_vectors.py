"""W3: the standards' own figures through our wrappers, so that a wrapper cannot swap, cut or pad what it hands on."""

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from wnsp.ciphers.keys import aead_open, aead_seal, hkdf_sha256
from wnsp.ciphers.passphrase import argon2id
from wnsp.ciphers.recipients import hpke_open, hpke_seal, public_key_of


def of(text: str) -> bytes:
    return bytes.fromhex(text)


def test_W3_hkdf_gives_rfc_5869_case_1() -> None:
    derived = hkdf_sha256(b"\x0b" * 22, of("000102030405060708090a0b0c"), of("f0f1f2f3f4f5f6f7f8f9"), 42)
    assert derived == of(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_W3_hkdf_gives_rfc_5869_case_2() -> None:
    derived = hkdf_sha256(bytes(range(0x50)), bytes(range(0x60, 0xB0)), bytes(range(0xB0, 0x100)), 82)
    assert derived == of(
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
    )


def test_W3_hkdf_gives_rfc_5869_case_3() -> None:
    derived = hkdf_sha256(b"\x0b" * 22, b"", b"", 42)
    assert derived == of(
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)


def test_W3_the_aead_gives_rfc_8439_section_2_8_2() -> None:
    key, nonce, associated = (
        bytes(range(0x80, 0xA0)),
        of("070000004041424344454647"),
        of("50515253c0c1c2c3c4c5c6c7"),
    )
    sealed = aead_seal(key, nonce, SUNSCREEN, associated)
    assert sealed == of(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
    )
    assert aead_open(key, nonce, sealed, associated) == SUNSCREEN


def test_W3_argon2id_gives_rfc_9106_section_5_3() -> None:
    derived = argon2id(
        b"\x01" * 32,
        b"\x02" * 16,
        memory_kib=32,
        passes=3,
        lanes=4,
        secret=b"\x03" * 8,
        associated=b"\x04" * 12,
    )
    assert derived == of("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659")


# RFC 9180, appendix A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base mode.
HPKE_INFO = of("4f6465206f6e2061204772656369616e2055726e")
HPKE_PRIVATE = of("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
HPKE_PUBLIC = of("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
HPKE_ENCAPSULATED = of("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
HPKE_KEY = of("ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91")
HPKE_BASE_NONCE = of("5c4d98150661b848853b547f")
HPKE_PLAINTEXT = of("4265617574792069732074727574682c20747275746820626561757479")


def test_W3_the_rfc_9180_key_pair_is_ours() -> None:
    assert public_key_of(HPKE_PRIVATE) == HPKE_PUBLIC


def test_W3_hpke_opens_with_key_and_nonce_of_rfc_9180_a_2_1() -> None:
    """The appendix's own ciphertexts have associated data, which our messages put into `info`; its key has not."""
    with_associated = ChaCha20Poly1305(HPKE_KEY).encrypt(HPKE_BASE_NONCE, HPKE_PLAINTEXT, b"Count-0")
    assert with_associated == of(
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    )
    sealed = HPKE_ENCAPSULATED + ChaCha20Poly1305(HPKE_KEY).encrypt(HPKE_BASE_NONCE, HPKE_PLAINTEXT, None)
    assert hpke_open(HPKE_PRIVATE, sealed, HPKE_INFO) == HPKE_PLAINTEXT


def test_W3_hpke_seals_what_it_opens() -> None:
    sealed = hpke_seal(HPKE_PUBLIC, HPKE_PLAINTEXT, HPKE_INFO)
    assert len(sealed) == len(HPKE_PLAINTEXT) + 48
    assert hpke_open(HPKE_PRIVATE, sealed, HPKE_INFO) == HPKE_PLAINTEXT


def test_W3_x25519_gives_bobs_key_of_rfc_7748_section_6_1() -> None:
    private = of("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert public_key_of(private) == of("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
