package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"runtime/debug"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// bill is the bill of materials of a binary, by what its linker recorded: the modules that are in it, and no others. It has
// the form of CycloneDX (https://cyclonedx.org/docs/1.6/json/).
func (r *release) bill(program string, binary []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("what is in %s: %w", program, err)
	}
	components := []cdx.Component{{
		Type: cdx.ComponentTypeLibrary, Name: "std", Version: info.GoVersion[len("go"):], PackageURL: "pkg:golang/std@" + info.GoVersion[len("go"):],
		BOMRef: "std",
	}}
	for _, m := range info.Deps {
		components = append(components, component(m))
	}
	main := cdx.Component{
		Type: cdx.ComponentTypeApplication, BOMRef: program, Name: program, Version: r.version,
		PackageURL: "pkg:golang/" + info.Main.Path + "@" + r.version + "#cmd/" + program,
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: r.time.Format(time.RFC3339), Component: &main}
	bom.Components = &components
	var b bytes.Buffer
	err = cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	return b.Bytes(), err
}

// component is a module. Its sum is go.sum's: a SHA-256 over the names and the SHA-256 of its files.
func component(m *debug.Module) cdx.Component {
	if m.Replace != nil {
		m = m.Replace
	}
	url := "pkg:golang/" + m.Path + "@" + m.Version
	return cdx.Component{
		Type: cdx.ComponentTypeLibrary, BOMRef: url, Name: m.Path, Version: m.Version, PackageURL: url,
		Properties: &[]cdx.Property{{Name: "go:sum", Value: m.Sum}},
	}
}
