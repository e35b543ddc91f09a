"""The stand-in for the SCONE runtime: SIMULATED, one zipapp, SCONE's interface.

Everything here but `build` travels inside the zipapp: standard library and Python 3.6 syntax only
(annotations newer than that stay in quotes), and modules are imported where they are needed, because
every start of an interpreter in a stand-in image pays for them.
"""
