"""Speed, memory and size beside other engines: `subbyte bench`. How it measures: `docs/bench.md`."""
