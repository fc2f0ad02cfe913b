"""What can be wrong with a picture, or with what should become one. One class per rule; decoding raises nothing
else."""

from wnsp.errors import WnspError


class OpticalError(WnspError):
    """Base of the optical link's errors."""


class MessageTooLong(OpticalError):
    """More bytes than pictures of that kind can hold."""

    def __init__(self, *, found: int, limit: int) -> None:
        super().__init__(
            f"the message has {found} bytes, such pictures hold at most {limit}: use more cells or an animation"
        )
        self.found = found
        self.limit = limit


class PictureSizeUnknown(OpticalError):
    """A number of cells that no picture has."""

    def __init__(self, *, cells: int) -> None:
        super().__init__(f"a picture's side has 24, 28, … 128 cells, not {cells}")
        self.cells = cells


class SettingOutOfRange(OpticalError):
    """An option of the encoder outside its range."""

    def __init__(self, *, setting: str, value: int, lowest: int, highest: int) -> None:
        super().__init__(f"{setting} is {value}, it must lie within {lowest} to {highest}")
        self.setting = setting
        self.value = value


class PictureFileTooLarge(OpticalError):
    """More bytes, pixels or frames than will be looked at; found before decoding."""

    def __init__(self, *, what: str, found: int, limit: int) -> None:
        super().__init__(f"the picture has {found} {what}, at most {limit} are decoded")
        self.what = what
        self.found = found
        self.limit = limit


class PictureUnreadable(OpticalError):
    """Not a PNG or JPEG file, or a broken one."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"not a readable PNG or JPEG picture: {reason}")
        self.reason = reason


class MarksNotFound(OpticalError):
    """No four finder marks with a readable header between them."""

    def __init__(self, *, found: int, wanted: int) -> None:
        super().__init__(
            f"{found} corner marks found, {wanted} are needed around a readable header:"
            " show all four corners, sharper or larger"
        )
        self.found = found
        self.wanted = wanted


class PictureHeaderInvalid(OpticalError):
    """The header was read and says something that no encoder writes."""

    def __init__(self, *, field: str, value: int) -> None:
        super().__init__(f"the picture's header has the impossible {field} {value}")
        self.field = field
        self.value = value


class TooManyErrors(OpticalError):
    """Reed-Solomon could not repair a block; -1 is the header."""

    def __init__(self, *, block: int, parity_bytes: int) -> None:
        name = "the header" if block < 0 else f"block {block}"
        super().__init__(f"{name} has more damage than its {parity_bytes} parity bytes repair")
        self.block = block
        self.parity_bytes = parity_bytes


class PartDamaged(OpticalError):
    """Error correction ended in a word that the header's check refuses."""

    def __init__(self, *, number: int) -> None:
        super().__init__(f"picture {number} is damaged beyond repair: its check does not fit")
        self.number = number


class PicturesMissing(OpticalError):
    """Not all pictures of the message are there."""

    def __init__(self, *, found: int, count: int, missing: tuple[int, ...]) -> None:
        names = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
        super().__init__(f"{found} of {count} pictures found; still to be shown: {names}")
        self.found = found
        self.count = count
        self.missing = missing


class MessagesMixed(OpticalError):
    """Pictures of two messages, or pictures that contradict each other."""

    def __init__(self, *, found: str, expected: str) -> None:
        super().__init__(f"a picture of message {found} among those of message {expected}")
        self.found = found
        self.expected = expected
