"""The local servers: started and stopped by `towpath up` and `down`, or supervised for the length of one run."""
