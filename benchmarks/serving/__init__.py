"""One network behind several doors: how much of the time of a request is the network's, and how much the door's."""
