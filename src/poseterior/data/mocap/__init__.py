"""Motion capture: readers of its files, the rigs they come on, import into a `poseterior.data.store.PoseStore`."""
