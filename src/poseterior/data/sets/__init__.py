"""Data sets that researchers download: their own layouts, as `poseterior.data.observations.ObservationSet`."""
