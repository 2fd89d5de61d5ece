"""The bus on Kafka.

Read in this order: topics (what is written where), offsets (what may be committed), client (connections), handling,
partition, assigned and group (how events are handled), sharing and regions (who owns which partition), producer, bus.
"""
