"""What the suite claims of a device, checked on the device itself: for boxes that its authors never had.

`python -m fiabench.selftest.run DEVICE` checks; `tools/doctor.py --selftest` starts that and prints what it says.
"""
