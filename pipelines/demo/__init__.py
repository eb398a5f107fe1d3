"""A release played through on a copy of the project: real rows, a real gateway, good and broken versions.

`python -m pipelines.demo` makes the copy; `story` plays in it; `broken` makes the versions that must not get through;
`traffic` is the users; `plot` draws what happened. Nothing of the project that it is started in is changed but one
picture in `reports/`.
"""
