// Serves govmomi's vCenter simulator on loopback over TLS until its standard input ends.
//
// It prints its port on one line once it answers. The certificate and key are the files named by its two arguments.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	log.SetOutput(io.Discard)
	pair, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		panic(err)
	}
	model := simulator.VPX()
	model.Machine = 2
	if err := model.Create(); err != nil {
		panic(err)
	}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword("quarterdeck", "right")}
	server := model.Service.NewServer()
	fmt.Println(server.URL.Port())
	io.Copy(io.Discard, os.Stdin)
	server.Close()
	model.Remove()
}
