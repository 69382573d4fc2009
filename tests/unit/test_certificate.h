/* A self-signed certificate for localhost and 127.0.0.1, valid for a hundred years, and its key. Trusted by tests alone. */
#pragma once

static const char test_certificate[] = "-----BEGIN CERTIFICATE-----\n"
                                       "MIIBnDCCAUGgAwIBAgIUKSshEw20/ZW9GEAKombk1pkzykYwCgYIKoZIzj0EAwIw\n"
                                       "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjIyNDgyNFoYDzIxMjYxMDI5\n"
                                       "MjI0ODI0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
                                       "PQMBBwNCAASqgm2+hxUarmTDsWEa0yG4d2JkC8mEaoIy3SPbLAHOBC82MG5dtmsv\n"
                                       "YwJnSYp0X2otwnstkHyk3T9604+ERqBJo28wbTAdBgNVHQ4EFgQUFUodv8zzF2yU\n"
                                       "rFSxePaZNfDDCykwHwYDVR0jBBgwFoAUFUodv8zzF2yUrFSxePaZNfDDCykwDwYD\n"
                                       "VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI\n"
                                       "zj0EAwIDSQAwRgIhAMDgbfQbGTrSnLovA++yOU/ah5dMhAa8os9dQKpt4+qAAiEA\n"
                                       "69zDwPYBv0n9DtqfruZaFTcuY2cAcjwBkCQadZi77N8=\n"
                                       "-----END CERTIFICATE-----\n";

static const char test_certificate_key[] = "-----BEGIN PRIVATE KEY-----\n"
                                           "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzxSATenSBgXIQAZW\n"
                                           "QEq6jaGELlGJ0dCK9DvMEc3GziihRANCAASqgm2+hxUarmTDsWEa0yG4d2JkC8mE\n"
                                           "aoIy3SPbLAHOBC82MG5dtmsvYwJnSYp0X2otwnstkHyk3T9604+ERqBJ\n"
                                           "-----END PRIVATE KEY-----\n";
