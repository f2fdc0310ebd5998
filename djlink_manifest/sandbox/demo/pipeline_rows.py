"""The rows of the sandbox pipelines: made up, lifelike, and the same for the same seed and number.

Each session and each scan has a number, counted from 0; all that belongs to it is drawn from a generator of
its own, so that a pipeline filled with 12 and grown by 3 equals one filled with 15. NumPy is imported late,
like DataJoint, which needs it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[str, list[Row]]

NAMESPACE = uuid.UUID("6f1d2f5c-6a1e-5a0e-8f43-0d1f2b7c9a55")
FIRST_DAY = date(2025, 3, 3)
SESSIONS_PER_SUBJECT = 3
SCANS_PER_MOUSE = 4
CHANNELS = 6
SAMPLES = 1500
SAMPLING_RATE = 30_000.0
THRESHOLD = 5.0

USERS: tuple[Row, ...] = (
    {"user": "a.lee", "full_name": "Aroha Lee", "email": "a.lee@lab.example", "active": True},
    {"user": "jnunez", "full_name": "José Núñez", "email": "jnunez@lab.example", "active": True},
    {"user": "zmueller", "full_name": "Zoë Müller", "email": None, "active": True},
    {"user": "sato", "full_name": "佐藤 花子", "email": "sato@lab.example", "active": True},
    {"user": "alumna", "full_name": "Siobhán O'Neill", "email": None, "active": False},
)
NOTES = (
    "Calm, ran 340 m. Electrode 3 noisy.",
    "Größe der Pfote: 4 µm Δ – siehe Foto.",
    'Reward 10 % sucrose; "double" drops from trial 40 on.',
    "🐁 fell asleep twice.\nWoken by the door.",
    "Data copied to C:\\raw\\today, checked; it's complete.",
    "実験は順調。",
)
REMARKS = ("", "", "Slow start.", "Licks before the cue – again!", "Best day so far 🎉")
GENOTYPES = ("C57BL/6J", "Thy1-GCaMP6s", None, "Ai162(TIT2L-GC6s)×Cux2-CreERT2")


def _generator(*words: int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(words)


def _moment(day: date, hour: int, rng: np.random.Generator) -> datetime:
    """Some time within three hours from `hour`, to the microsecond."""
    return datetime(day.year, day.month, day.day, hour) + timedelta(
        microseconds=int(rng.integers(0, 3 * 3600 * 10**6))
    )


def session_rows(seed: int, number: int) -> Rows:
    """All hand-entered rows of session `number` of the "princeton" pipeline, with its subject."""
    rng = _generator(seed, 1, number)
    subject = subject_row(seed, number // SESSIONS_PER_SUBJECT)
    day = FIRST_DAY + timedelta(days=number)
    key: Row = {"subject": subject["subject"], "session_date": day, "session_number": 1 + number % 2}
    start = _moment(day, 9, rng)
    task = {"name": "linear track", "länge_cm": 160 + number, "rewards": [0.5, 1, None], "lit": number > 6}
    session = {
        **key,
        "experimenter": USERS[number % 4]["user"],
        "session_start": start,
        "temperature": None if number % 5 == 3 else float(rng.normal(21.5, 0.4)),
        "task": None if number % 4 == 2 else task,
    }
    notes = [
        {
            **key,
            "note_number": index,
            "author": None if (number + index) % 3 == 0 else USERS[(number + index) % 4]["user"],
            "written_at": start.replace(microsecond=125_000 * index) + timedelta(minutes=20 * index),
            "note": NOTES[(number + index) % len(NOTES)],
        }
        for index in range(1, 2 + number % 3)
    ]
    return {
        "lab.Subject": [subject],
        "session.Session": [session],
        "session.SessionNote": notes,
        **_recording_rows(key, number, rng),
    }


def subject_row(seed: int, number: int) -> Row:
    """The subject `number` of the "princeton" pipeline."""
    rng = _generator(seed, 2, number)
    name = f"A{number + 1:03d}"
    return {
        "subject": name,
        "species": ("mouse", "mouse", "rat")[number % 3],
        "subject_uuid": uuid.uuid5(NAMESPACE, f"{seed} {name}"),
        "sex": ("F", "M", "unknown")[int(rng.integers(0, 3))],
        "date_of_birth": None if number % 4 == 3 else FIRST_DAY - timedelta(days=int(rng.integers(60, 200))),
        "weight": None if number % 5 == 4 else Decimal(int(rng.integers(1800, 3500))) / 100,
    }


def _recording_rows(key: Row, number: int, rng: np.random.Generator) -> Rows:
    recording = {
        **key,
        "probe": None if number % 4 == 1 else ("Neuropixels 1.0", "Neuropixels 2.0")[number % 2],
        "sampling_rate": SAMPLING_RATE,
        "duration": Decimal(int(rng.integers(600_000, 4_000_000))) / 1000,
        "gain": 2.34375,
    }
    channels = [
        {
            **key,
            "channel": channel,
            "depth": 700 + 20.1 * channel,
            "impedance": None if channel % 5 == 2 else float(rng.gamma(4, 0.1)),
            "trace": _trace(rng),
        }
        for channel in range(CHANNELS)
    ]
    return {"ephys.Recording": [recording], "ephys.Recording.Channel": channels}


def _trace(rng: np.random.Generator) -> Array:
    """Noise, with a few spikes on most channels."""
    trace = rng.normal(0, 12, SAMPLES)
    for at in rng.integers(10, SAMPLES - 40, rng.integers(0, 6)):
        trace[at : at + 12] -= 180 * float(rng.uniform(0.8, 1.2))
        trace[at + 12 : at + 30] += 40
    steps: Array = trace.round().astype("int16")
    return steps


def sorted_units(channels: Sequence[Mapping[str, Any]], sampling_rate: float) -> tuple[float, list[Row]]:
    """The threshold, and a row for each channel whose trace (`trace`, steps) crosses it downwards."""
    import numpy as np

    units: list[Row] = []
    for each in channels:
        trace = np.asarray(each["trace"], dtype="float64")
        spread = float(np.median(np.abs(trace))) / 0.6745
        below = trace < -THRESHOLD * spread
        onsets = np.flatnonzero(below[1:] & ~below[:-1]) + 1
        if len(onsets):
            units.append(
                {
                    "unit": len(units) + 1,
                    "channel": each["channel"],
                    "rate": len(onsets) * sampling_rate / len(trace),
                    "spike_times": onsets / sampling_rate,
                }
            )
    return THRESHOLD, units


def scan_rows(seed: int, number: int) -> Rows:
    """All hand-entered rows of scan `number` of the "janelia" pipeline, with its mouse and training."""
    rng = _generator(seed, 3, number)
    mouse = mouse_row(seed, number // SCANS_PER_MOUSE)
    day = FIRST_DAY + timedelta(days=number)
    training = {
        "mouse": mouse["mouse"],
        "trained_on": day,
        "water": Decimal(int(rng.integers(40, 180))) / 100,
        "trials": int(rng.integers(80, 400)),
        "correct": float(rng.beta(8, 3)),
        "remarks": REMARKS[number % len(REMARKS)],
    }
    scan = {
        "scan": uuid.uuid5(NAMESPACE, f"{seed} scan {number}"),
        "mouse": mouse["mouse"],
        "trained_on": None if number % 3 == 2 else day,
        "scanned_at": _moment(day, 14, rng),
        "wavelength": (920, 1040)[number % 2],
        "aborted": number % 6 == 5,
    }
    fields = [
        {
            "scan": scan["scan"],
            "field": field,
            "z": 100.5 + 35 * field,
            "power": None if field == 2 else float(rng.uniform(20, 60)),
            "average": _image(rng),
        }
        for field in range(1, 3 + number % 2)
    ]
    return {
        "behavior.Mouse": [mouse],
        "behavior.Training": [training],
        "imaging.Scan": [scan],
        "imaging.Scan.Field": fields,
    }


def mouse_row(seed: int, number: int) -> Row:
    """The mouse `number` of the "janelia" pipeline."""
    rng = _generator(seed, 4, number)
    return {
        "mouse": f"JM{number + 1:04d}",
        "sex": "FM"[int(rng.integers(0, 2))],
        "born": FIRST_DAY - timedelta(days=int(rng.integers(50, 150))),
        "genotype": GENOTYPES[number % len(GENOTYPES)],
    }


def _image(rng: np.random.Generator) -> Array:
    """A dim field, 32 × 32, with a few bright cells."""
    image = rng.poisson(90, (32, 32))
    for _ in range(int(rng.integers(1, 5))):
        y, x = rng.integers(2, 28, 2)
        image[y : y + 3, x : x + 3] += 600
    return image.astype("uint16")


def found_cells(fields: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for each patch of bright pixels in the fields (`average`, height × width)."""
    import numpy as np

    cells: list[Row] = []
    for each in fields:
        image = np.asarray(each["average"], dtype="float64")
        floor, spread = float(np.median(image)), float(image.std())
        bright = image > floor + 2 * spread
        while bright.any():
            y, x = (int(i) for i in np.argwhere(bright)[0])
            mask = np.zeros_like(bright)
            mask[y : y + 3, x : x + 3] = bright[y : y + 3, x : x + 3]
            bright &= ~mask
            cells.append(
                {
                    "cell": len(cells) + 1,
                    "field": each["field"],
                    "x": x + 1.0,
                    "y": y + 1.0,
                    "snr": None if spread == 0 else float(image[mask].mean() - floor) / spread,
                    "mask": mask,
                }
            )
    return cells
