# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""The classes of the two sandbox pipelines, as a lab would write them.

"princeton" records in the hippocampus (schemas `lab`, `session`, `ephys`), "janelia" images it (`behavior`,
`imaging`). Between them they have what links must cope with: every tier, parts, a part that refers to
another table's part, renamed and nullable foreign keys, a uuid as primary key, and DataJoint's types. Classes
are made in functions, since DataJoint is imported late and each copy of a pipeline has schemas of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

# Binds a class to its schema and makes it known to the definitions of later classes.
Bind: TypeAlias = Callable[[type], type]


def declare_lab(bind: Bind) -> None:
    """Who is recorded, and by whom."""
    import datajoint as dj

    @bind
    class Species(dj.Lookup):
        definition = """
        # what kind of animal
        species : varchar(24)        # common name
        ---
        latin_name : varchar(80)
        """
        contents = (
            {"species": "mouse", "latin_name": "Mus musculus"},
            {"species": "rat", "latin_name": "Rattus norvegicus"},
            {"species": "marmoset", "latin_name": "Callithrix jacchus"},
        )

    @bind
    class User(dj.Manual):
        definition = """
        # people who work in the lab
        user : varchar(16)           # login name
        ---
        full_name : varchar(80)
        email=null : varchar(120)
        active=1 : bool              # whether the account is in use
        unique index(email)
        """

    @bind
    class Subject(dj.Manual):
        definition = """
        # animals
        subject : varchar(16)        # ear tag
        ---
        -> lab.Species
        subject_uuid : uuid          # as the colony's database calls it
        sex="unknown" : enum('F', 'M', 'unknown')
        date_of_birth=null : date
        weight=null : decimal(6,2)   # g
        unique index(subject_uuid)
        """


def declare_session(bind: Bind) -> None:
    """What was done with a subject on a day."""
    import datajoint as dj

    @bind
    class Session(dj.Manual):
        definition = """
        # an experiment with one subject
        -> lab.Subject
        session_date : date
        session_number : int16       # of the day
        ---
        -> lab.User.proj(experimenter="user")
        session_start : datetime(6)  # UTC
        temperature=null : float32   # of the room, in °C
        task=null : json             # settings of the task
        index(session_start)
        """

    @bind
    class SessionNote(dj.Manual):
        definition = """
        # what people wrote down
        -> session.Session
        note_number : int16
        ---
        -> [nullable] lab.User.proj(author="user")
        written_at : datetime(3)
        note : varchar(2000)
        """


def declare_ephys(bind: Bind) -> None:
    """Electrophysiology: recordings with their channels, and the units sorted from them."""
    import datajoint as dj

    from djlink_manifest.sandbox.demo.pipeline_rows import sorted_units

    @bind
    class Probe(dj.Lookup):
        definition = """
        # types of silicon probes
        probe : varchar(32)
        ---
        channels : int16
        pitch : float32              # distance of neighbouring sites, in µm
        """
        contents = (
            {"probe": "Neuropixels 1.0", "channels": 960, "pitch": 20.0},
            {"probe": "Neuropixels 2.0", "channels": 1280, "pitch": 15.0},
            {"probe": "A1x32-Poly2", "channels": 32, "pitch": 25.4},
        )

    @bind
    class Recording(dj.Imported):
        definition = """
        # voltage traces of a session
        -> session.Session
        ---
        -> [nullable] ephys.Probe
        sampling_rate : float64      # Hz
        duration : decimal(9,3)      # s
        gain : float32               # µV per step
        """

        class Channel(dj.Part):
            definition = """
            # one site of the probe
            -> master
            channel : int16
            ---
            depth : float32          # below the surface, in µm
            impedance=null : float32 # MΩ
            trace : <blob>           # steps, int16
            """

    @bind
    class Spikes(dj.Computed):
        definition = """
        # sorted units of a recording
        -> ephys.Recording
        ---
        threshold : float64          # in standard deviations of a trace
        unit_count : int32
        """

        class Unit(dj.Part):
            definition = """
            # one unit
            -> master
            unit : int16
            ---
            -> ephys.Recording.Channel
            rate : float64           # spikes per second
            spike_times : <blob>     # s, float64
            """

        def make(self, key: dict[str, Any]) -> None:
            """Sort one recording: a unit is a channel on which spikes stand out."""
            rate = (Recording() & key).fetch1("sampling_rate")
            channels = (Recording.Channel() & key).to_dicts(order_by="channel")
            threshold, units = sorted_units(channels, rate)
            self.insert1({**key, "threshold": threshold, "unit_count": len(units)})
            self.Unit.insert([{**key, **unit} for unit in units])


def declare_behavior(bind: Bind) -> None:
    """Mice and their training."""
    import datajoint as dj

    @bind
    class Mouse(dj.Manual):
        definition = """
        # mice of the imaging facility
        mouse : varchar(16)
        ---
        sex : enum('F', 'M')
        born : date
        genotype=null : varchar(120)
        """

    @bind
    class Training(dj.Manual):
        definition = """
        # a day of training
        -> behavior.Mouse
        trained_on : date
        ---
        water : decimal(4,2)         # drunk, in ml
        trials : int32
        correct : float32            # share of trials
        remarks="" : varchar(400)
        """


def declare_imaging(bind: Bind) -> None:
    """Two-photon imaging: scans with their fields, and the cells found in them."""
    import datajoint as dj

    from djlink_manifest.sandbox.demo.pipeline_rows import found_cells

    @bind
    class Scan(dj.Manual):
        definition = """
        # one run of the microscope
        scan : uuid
        ---
        -> behavior.Mouse
        -> [nullable] behavior.Training
        scanned_at : datetime(6)     # UTC
        wavelength=920 : int16       # nm
        aborted=0 : bool
        """

        class Field(dj.Part):
            definition = """
            # one plane
            -> master
            field : int16
            ---
            z : float32              # depth, in µm
            power=null : float32     # mW
            average : <blob>         # mean image, height × width, uint16
            """

    @bind
    class Segmentation(dj.Computed):
        definition = """
        # cells found in a scan
        -> imaging.Scan
        ---
        method : enum('threshold', 'cnmf')
        cells : int32
        """

        class Cell(dj.Part):
            definition = """
            # one cell
            -> master
            cell : int16
            ---
            -> imaging.Scan.Field
            x : float32
            y : float32
            snr=null : float32
            mask : <blob>            # height × width, bool
            """

        def make(self, key: dict[str, Any]) -> None:
            """Segment one scan by a threshold."""
            fields = (Scan.Field() & key).to_dicts(order_by="field")
            cells = found_cells(fields)
            self.insert1({**key, "method": "threshold", "cells": len(cells)})
            self.Cell.insert([{**key, **cell} for cell in cells])
