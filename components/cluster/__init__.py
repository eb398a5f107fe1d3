"""Work on other machines: a Ray cluster that is there already. Knows nothing of trainings, products or tables.

`session` and `pool` import Ray, when something is to be done there; the other modules run on both sides and know none
of it.
"""
