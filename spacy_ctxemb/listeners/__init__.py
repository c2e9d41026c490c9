"""Components that read the vectors of an encoder which they share."""
