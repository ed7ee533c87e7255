package client

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/oschwald/maxminddb-golang/v2"
)

const (
	// maxDatabase bounds the size of a database in bytes; it is held in memory.
	maxDatabase = 512 << 20
	// maxNetworks bounds how many networks of a database are read when it is loaded. The largest public ones with
	// the fields that are needed have some 5 million.
	maxNetworks = 16 << 20
)

// geo is one MMDB database, held in memory: the operator may overwrite or truncate the file while it is in use.
//
// Every record that the search tree names is decoded once when the database is loaded. A look-up only walks the tree,
// and finds what the record says in a map by the record's offset.
type geo struct {
	db     *maxminddb.Reader
	values map[uintptr]uint32
	only4  bool
	failed atomic.Uint64
}

// field is what is read from a database, and how its values fit into 32 bits.
type field struct {
	option string // the policy's field
	name   string // the database's field
	kind   string // what to give instead of a wrong one
	decode func(maxminddb.Result) (uint32, error)
}

func countryField() field {
	return field{"geo.country", "country.iso_code", "a country or city database, such as GeoLite2-Country", func(res maxminddb.Result) (uint32, error) {
		var rec struct {
			Country struct {
				Code string `maxminddb:"iso_code"`
			} `maxminddb:"country"`
		}
		err := res.Decode(&rec)
		return packCountry(rec.Country.Code), err
	}}
}

func networkField() field {
	return field{"geo.network", "autonomous_system_number", "an ASN database, such as GeoLite2-ASN", func(res maxminddb.Result) (uint32, error) {
		var rec struct {
			Number uint32 `maxminddb:"autonomous_system_number"`
		}
		err := res.Decode(&rec)
		return rec.Number, err
	}}
}

// openGeo loads and checks a database. An empty file name gives nil, which knows nothing.
func openGeo(file string, f field) (*geo, error) {
	if file == "" {
		return nil, nil
	}
	data, err := readDatabase(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.option, err)
	}
	g, err := newGeo(data, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", f.option, file, err)
	}
	return g, nil
}

func readDatabase(file string) ([]byte, error) {
	h, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w: correct the path, or let the door read the file", err)
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	switch size := info.Size(); {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: name the MMDB file itself", file)
	case size == 0:
		return nil, fmt.Errorf("%s is empty: download the database again", file)
	case size > maxDatabase:
		return nil, fmt.Errorf("%s has %d MiB and a database may have %d MiB: use a smaller edition of it", file, size>>20, maxDatabase>>20)
	default:
		data := make([]byte, size)
		if _, err := io.ReadFull(h, data); err != nil {
			return nil, fmt.Errorf("%s changed while it was read (%w): replace it by renaming a complete file over it", file, err)
		}
		return data, nil
	}
}

var errDamaged = errors.New("it is damaged: download it again")

// newGeo checks a database and decodes its records. The library is built for damaged files; the recover is for what it
// missed.
func newGeo(data []byte, f field) (g *geo, err error) {
	defer func() {
		if p := recover(); p != nil {
			g, err = nil, fmt.Errorf("%w (reading it panicked: %v)", errDamaged, p)
		}
	}()
	db, err := maxminddb.OpenBytes(data, maxminddb.DisableStringCache())
	if err != nil {
		return nil, fmt.Errorf("it cannot be read as an MMDB file (%w): download it again", err)
	}
	m := db.Metadata
	if m.BinaryFormatMajorVersion != 2 || m.IPVersion != 4 && m.IPVersion != 6 || m.NodeCount == 0 ||
		m.RecordSize != 24 && m.RecordSize != 28 && m.RecordSize != 32 {
		return nil, fmt.Errorf("%w (format %d, addresses of IPv%d, %d nodes of 2x%d bits)", errDamaged, m.BinaryFormatMajorVersion, m.IPVersion, m.NodeCount, m.RecordSize)
	}
	g = &geo{db: db, values: map[uintptr]uint32{}, only4: m.IPVersion == 4}
	known, seen := 0, 0
	for res := range db.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if seen++; seen > maxNetworks {
			return nil, fmt.Errorf("it has more than %d networks: use a smaller edition of it", maxNetworks)
		}
		if err := res.Err(); err != nil {
			return nil, fmt.Errorf("%w (%w)", errDamaged, err)
		}
		if !res.Found() {
			continue
		}
		if _, ok := g.values[res.Offset()]; ok {
			continue
		}
		v, err := f.decode(res)
		if err != nil {
			return nil, wrongRecord(err, m.DatabaseType, f)
		}
		if v != 0 {
			known++
		}
		g.values[res.Offset()] = v
	}
	if known == 0 {
		return nil, fmt.Errorf("no record of this database (%q) has %s: give %s", m.DatabaseType, f.name, f.kind)
	}
	return g, nil
}

func wrongRecord(err error, kind string, f field) error {
	if t := (maxminddb.UnmarshalTypeError{}); errors.As(err, &t) {
		return fmt.Errorf("%s of this database (%q) is of another type (%w): give %s", f.name, kind, err, f.kind)
	}
	return fmt.Errorf("%w (%w)", errDamaged, err)
}

// lookup returns what the database says of a, 0 for nothing. It allocates nothing and never panics.
func (g *geo) lookup(a netip.Addr) (v uint32) {
	if g == nil || g.only4 && !a.Is4() {
		return 0
	}
	defer func() {
		if recover() != nil {
			v = 0
			g.failed.Add(1)
		}
	}()
	res := g.db.Lookup(a)
	if res.Err() != nil {
		g.failed.Add(1)
		return 0
	}
	if !res.Found() {
		return 0
	}
	return g.values[res.Offset()]
}

func (g *geo) failures() uint64 {
	if g == nil {
		return 0
	}
	return g.failed.Load()
}

// packCountry returns 1 + the index of a two-letter code among all of them, 0 when code is none.
func packCountry(code string) uint32 {
	if len(code) != 2 {
		return 0
	}
	a, b := lower[code[0]]-'a', lower[code[1]]-'a'
	if a >= 26 || b >= 26 {
		return 0
	}
	return 1 + uint32(a)*26 + uint32(b)
}

// countries holds all codes of two letters, one behind the other, so that a country in Facts needs no memory of its
// own.
var countries = func() string {
	var b [2 * 26 * 26]byte
	for i := range 26 * 26 {
		b[2*i], b[2*i+1] = 'A'+byte(i/26), 'A'+byte(i%26)
	}
	return string(b[:])
}()

// unpackCountry is the inverse of packCountry, in capitals.
func unpackCountry(v uint32) string {
	if v == 0 || v > 26*26 {
		return ""
	}
	return countries[2*(v-1) : 2*v]
}
