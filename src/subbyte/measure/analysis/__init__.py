"""Why a model breaks at few bits, and what to do about it: measured with our engine, told on one page."""
