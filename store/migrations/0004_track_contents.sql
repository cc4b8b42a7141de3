-- What a track's file held when it was written: bytes, and their CRC-32. NULL: written before this.
ALTER TABLE tracks ADD COLUMN size INTEGER CHECK (size >= 0);
ALTER TABLE tracks ADD COLUMN crc INTEGER CHECK (crc BETWEEN 0 AND 4294967295);
