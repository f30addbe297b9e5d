// Command archives says what Helm makes of packaged charts: it reads archives from standard input, each after its
// length (four bytes, little endian), and prints one JSON object a line for each. The unit tests in
// src/chart/archive/tests.rs run it over archives made to confuse, and compare what they have recorded of it:
//
//	go build -o archives .
//	HELM_SIGSTORE_ARCHIVE_ORACLE=$PWD/archives cargo test --lib archive::tests -- --include-ignored
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

type answer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Error   string `json:"error"`
}

func main() {
	if err := run(bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "archives:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out *json.Encoder) error {
	for {
		var length uint32
		if err := binary.Read(in, binary.LittleEndian, &length); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		archive := make([]byte, length)
		if _, err := io.ReadFull(in, archive); err != nil {
			return err
		}
		var found answer
		chart, err := loader.LoadArchive(bytes.NewReader(archive))
		if err != nil {
			found.Error = err.Error()
		} else {
			found.Name, found.Version = chart.Metadata.Name, chart.Metadata.Version
		}
		if err := out.Encode(found); err != nil {
			return err
		}
	}
}
