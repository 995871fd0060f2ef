// Reads lines of "secret body", both in hexadecimal; writes the HMAC-SHA256 of each body.
package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		secretText, bodyText, _ := strings.Cut(lines.Text(), " ")
		secret, secretError := hex.DecodeString(secretText)
		body, bodyError := hex.DecodeString(bodyText)
		if secretError != nil || bodyError != nil {
			os.Exit(1)
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write(body)
		fmt.Println(hex.EncodeToString(mac.Sum(nil)))
	}
}
