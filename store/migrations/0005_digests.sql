-- What came for an upload, so that a PUT that is repeated can be told from another one.
ALTER TABLE uploads ADD COLUMN sha256 TEXT;  -- in hex, once its bytes are here
