"""What carries measurements from a beamline's programs to the service: small processes and callbacks around the client.

Nothing here computes. Each bridge needs the packages of its extra, and is loaded only by who uses it.
"""
