"""The published systems, one place per paper.

Each holds the paper's network, its lifter (or its prior, where it sees no picture), its objective where that is its
own, and names its recipe. Ours are in `poseterior.lifters`, and know nothing of these.
"""
