"""Why a model breaks at few bits, and what to do about it: measured with our engine, told on one page."""

from subbyte.analysis.analyzing import analyze as analyze
