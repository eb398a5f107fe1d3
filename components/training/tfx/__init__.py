"""What belongs to kind `tfx` beside its trainer; runs in an environment of its own, but for what says otherwise."""
