"""Request bodies: what they say they are, how they come, and the measurements that they hold."""
