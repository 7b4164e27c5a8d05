"""The command line: one file a command, each of which parses, calls the library once and prints.

Names of the library are imported where they are used, so that `subbyte --help` imports neither numpy nor the engine.
"""
