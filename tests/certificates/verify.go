// Prints Go's verdict on each line of standard input: usage, seconds since 1970, server name or -, file of authorities, file of the chain.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

func verdict(fields []string) error {
	secs, _ := strconv.ParseInt(fields[1], 10, 64)
	roots := x509.NewCertPool()
	bundle, _ := os.ReadFile(fields[3])
	roots.AppendCertsFromPEM(bundle)
	text, _ := os.ReadFile(fields[4])
	var chain []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		chain = append(chain, certificate)
	}
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: time.Unix(secs, 0)}
	for _, certificate := range chain[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if fields[0] == "client" {
		options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if fields[2] != "-" {
		options.DNSName = fields[2]
	}
	_, err := chain[0].Verify(options)
	return err
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := verdict(strings.Split(lines.Text(), "\t")); err != nil {
			fmt.Println("refused: " + strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("accepted")
		}
	}
}
