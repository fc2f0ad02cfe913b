"""The four modes by their first names: text and a passphrase in, photon frames out, and back.

All four are equally strong, because all four carry the same sealed body; they differ in how many bits a frame carries.
"""

from typing import ClassVar

from wnsp.ciphers.carriers import carrier_named
from wnsp.ciphers.errors import CannotOpen, NotText
from wnsp.ciphers.keys import Entropy
from wnsp.ciphers.passphrase import (
    DEFAULT_MEMORY_KIB,
    DEFAULT_PASSES,
    PassphraseKey,
    PassphraseKeys,
    new_parameters,
)
from wnsp.ciphers.sealed_body import WaveMessage, open_with_passphrase, seal_with_passphrase


class WavelengthCryptography:
    """One conversation under one passphrase, in any mode.

    The key is derived when the first message is sealed (and once for each other side's parameters when opening), and
    kept: a message after the first costs under a millisecond for each kilobyte.
    """

    def __init__(
        self,
        passphrase: str,
        entropy: Entropy,
        *,
        memory_kib: int = DEFAULT_MEMORY_KIB,
        passes: int = DEFAULT_PASSES,
    ) -> None:
        """Raises `PassphraseTooShort`, `NotText`, `KeyParametersOutOfBounds`."""
        self._keys = PassphraseKeys(passphrase)
        self._entropy = entropy
        self._parameters = new_parameters(entropy, memory_kib, passes)

    @property
    def key(self) -> PassphraseKey:
        """The key of this side's messages, derived when first asked for."""
        return self._keys.key_for(self._parameters)

    def encrypt(self, plaintext: str, mode: str = "QIML") -> WaveMessage:
        """Seal text. Raises `ModeUnknown`, `PlaintextTooLong`, `NotText`."""
        return self.encrypt_bytes(_utf8(plaintext), mode)

    def decrypt(self, message: WaveMessage) -> str:
        """The text of a message in whatever mode. Raises `CannotOpen`."""
        try:
            return self.decrypt_bytes(message).decode("utf-8")
        except UnicodeDecodeError:
            raise CannotOpen from None

    def encrypt_bytes(self, plaintext: bytes, mode: str = "QIML") -> WaveMessage:
        """Seal any bytes. Raises `ModeUnknown`, `PlaintextTooLong`."""
        carrier_named(mode)
        return seal_with_passphrase(self.key, plaintext, mode, self._entropy)

    def decrypt_bytes(self, message: WaveMessage) -> bytes:
        """The bytes of a message in whatever mode. Raises `CannotOpen`."""
        return open_with_passphrase(self._keys, message)


class _OneMode:
    """A conversation that writes and reads one mode only."""

    mode: ClassVar[str]

    def __init__(
        self,
        passphrase: str,
        entropy: Entropy,
        *,
        memory_kib: int = DEFAULT_MEMORY_KIB,
        passes: int = DEFAULT_PASSES,
    ) -> None:
        """Raises `PassphraseTooShort`, `NotText`, `KeyParametersOutOfBounds`."""
        self._conversation = WavelengthCryptography(passphrase, entropy, memory_kib=memory_kib, passes=passes)

    def encrypt(self, plaintext: str) -> WaveMessage:
        """Seal text. Raises `PlaintextTooLong`, `NotText`."""
        return self._conversation.encrypt(plaintext, self.mode)

    def decrypt(self, message: WaveMessage) -> str:
        """The text of a message in this mode. Raises `CannotOpen`, for a message in another mode too."""
        if message.header[3:4] != bytes((carrier_named(self.mode).number,)):
            raise CannotOpen
        return self._conversation.decrypt(message)


class FrequencyShiftEncryption(_OneMode):
    """FSE: eight bits in the wavelength of each frame."""

    mode = "FSE"


class AmplitudeModulationEncryption(_OneMode):
    """AME: three bits in the amplitude of each frame."""

    mode = "AME"


class PhaseModulationEncryption(_OneMode):
    """PME: four bits in the phase and two in the polarisation of each frame."""

    mode = "PME"


class QuantumInspiredMultiLayerEncryption(_OneMode):
    """QIML: seventeen bits in wavelength, amplitude, phase and polarisation of each frame."""

    mode = "QIML"


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotText("message", error.start) from None
