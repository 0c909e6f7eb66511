"""Per-example losses in pure jnp."""
