"""What the process of every stage needs: its section of the configuration, exact files, a process group, an error file.

The one component that the others may import; it knows nothing of what a stage does.
"""
