package badinput

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bytes are parts one after the other.
type Bytes []Part

// Part is a piece of a body: exactly one of its ways to be written is set. The Avro ones make bodies readable.
type Part struct {
	Text   *string `yaml:"text"`
	Hex    *string `yaml:"hex"` // spaces are for the reader
	Base64 *string `yaml:"base64"`
	Gzip   Bytes   `yaml:"gzip"`
	Frame  *string `yaml:"frame"`  // Confluent's header with the schema id of this event type
	Long   *int64  `yaml:"long"`   // Avro: zigzag varint
	String *string `yaml:"string"` // Avro: length and text
	Times  int     `yaml:"times"`  // so often; 0 is once
}

// SchemaID finds the registered id of an event type.
type SchemaID func(eventType string) (int32, error)

// Write writes the parts, repetitions piece by piece, so that a bomb costs no memory here.
func (b Bytes) Write(w io.Writer, ids SchemaID) error {
	for i := range b {
		piece, err := b[i].bytes(ids)
		if err != nil {
			return fmt.Errorf("part %d: %w", i+1, err)
		}
		times := max(b[i].Times, 1)
		if chunk := 64 << 10 / max(len(piece), 1); times > chunk && chunk > 1 {
			many := bytes.Repeat(piece, chunk)
			for ; times > chunk; times -= chunk {
				if _, err := w.Write(many); err != nil {
					return err
				}
			}
		}
		for range times {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
	}
	return nil
}

// Make writes the parts to memory.
func (b Bytes) Make(ids SchemaID) ([]byte, error) {
	var buf bytes.Buffer
	err := b.Write(&buf, ids)
	return buf.Bytes(), err
}

func (p *Part) bytes(ids SchemaID) ([]byte, error) {
	switch {
	case p.Text != nil:
		return []byte(*p.Text), nil
	case p.Hex != nil:
		return hex.DecodeString(strings.ReplaceAll(*p.Hex, " ", ""))
	case p.Base64 != nil:
		return base64.StdEncoding.DecodeString(*p.Base64)
	case p.Gzip != nil:
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		if err := p.Gzip.Write(zw, ids); err != nil {
			return nil, err
		}
		err := zw.Close()
		return buf.Bytes(), err
	case p.Frame != nil:
		id, err := ids(*p.Frame)
		if err != nil {
			return nil, err
		}
		return binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), nil
	case p.Long != nil:
		return binary.AppendVarint(nil, *p.Long), nil // Go's varint is Avro's
	case p.String != nil:
		return append(binary.AppendVarint(nil, int64(len(*p.String))), *p.String...), nil
	}
	return nil, errors.New("it says nothing")
}
