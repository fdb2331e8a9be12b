"""A base, or an adapter on its base, in memory and checked."""
