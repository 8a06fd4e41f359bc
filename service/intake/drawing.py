"""What a network draws of a ptychographic measurement, for the worker that begins from it."""

import math
from dataclasses import replace

import numpy as np

from inphase.models.prediction import Network
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.parts import arrays_of_drawn
from inphase.ptycho.prediction import checked, drawn
from service.document import Ptychography
from service.door.budget import Share, carried_bytes
from service.jobs.store import Arrays


def begun(
    arrays: Arrays, told: Ptychography, measured: Measurement, network: Network, share: Share
) -> tuple[Arrays, Ptychography]:
    """The input of a job with what the network has drawn of its measurement, and what is told of it.

    share: holds the parts that are drawn. Raises DataError where the network was not made for the measurement, and as
    `Share.grow_to`.
    """
    card = checked(network.version.card, measured)
    boxes = len(measured) * len(card.offsets_px) * math.prod(card.box)
    share.grow_to(share.held + carried_bytes(boxes, boxes * np.dtype(np.complex64).itemsize))
    found = drawn(measured, network)
    return arrays | arrays_of_drawn(found), replace(told, model=found.label)
