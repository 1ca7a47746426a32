"""The whole proof on a card, in one command that ends inside eight minutes.

`python -m tools.gpu_proof FOLDER` runs the parts in this order, the most important first: `checks`
(is it right?), `steps` (how near to what memory allows is a step?), `walk` (a path on real data),
`many` (several runs at once), `cutting` (smaller in place, and in multiples), `latency`. Each part
stands alone, may be skipped, fails alone and is broken off when it takes far more than its share;
results are written to FOLDER after each, so that a run that is cut off leaves what it had.
`--dry` does all of it on the CPU in tiny sizes, with Triton's interpreter in place of the card.
"""
