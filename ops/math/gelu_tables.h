/* What v16_gelu and v16_gelu_tanh look up: minus F(-a) near a = i / 2 is the sum over p of table[p][i] (a - i / 2)^p, i 0 to 14;
 * 0 from i = 15 on. F is the normal distribution's function, or (1 + tanh u) / 2 for GELU's tanh form. Least squares of the
 * relative error at 24 Chebyshev nodes of each piece (30 digits), rounded to float one by one from the lowest power with the
 * rest fitted again. Relative errors of the pieces: under 1.1e-7 up to a = 3.75, growing to 1.1e-4 (tanh: 4.1e-3) at 7.25. */
#ifndef PITH_OPS_MATH_GELU_TABLES_H
#define PITH_OPS_MATH_GELU_TABLES_H

enum { V16_GELU_POWERS = 7 };

_Alignas(64) static const float v16_gelu_table[V16_GELU_POWERS][16] = {
    {-0x1.000000p-1f, -0x1.3bf144p-2f, -0x1.44ed0cp-3f, -0x1.11a46ep-4f, -0x1.74bcf8p-6f,
     -0x1.96f4e4p-8f, -0x1.61de1ep-10f, -0x1.e7dbccp-13f, -0x1.09ad84p-15f, -0x1.c80770p-19f,
     -0x1.33cab4p-22f, -0x1.463e42p-26f, -0x1.0f331ep-30f, -0x1.6145a2p-35f, -0x1.6845b6p-40f,
     0.0f},
    {0x1.988454p-2f, 0x1.6883d0p-2f, 0x1.ef8e5cp-3f, 0x1.094088p-3f, 0x1.ba4b42p-5f,
     0x1.1f2efep-6f, 0x1.22720cp-8f, 0x1.c9898ap-11f, 0x1.18a9cap-13f, 0x1.0c2a44p-16f,
     0x1.8f1886p-20f, 0x1.ce92a2p-24f, 0x1.a18d3ap-28f, 0x1.2589e8p-32f, 0x1.416b3ep-37f,
     0.0f},
    {-0x1.3acd4ap-21f, -0x1.68834ap-4f, -0x1.ef8e08p-4f, -0x1.8de08cp-4f, -0x1.ba4b56p-5f,
     -0x1.66fb0cp-6f, -0x1.b3ab72p-8f, -0x1.9057e4p-10f, -0x1.18a7dap-12f, -0x1.2da944p-15f,
     -0x1.f2c706p-19f, -0x1.3de740p-22f, -0x1.38f658p-26f, -0x1.dc7ee0p-31f, -0x1.18c7bap-35f,
     0.0f},
    {-0x1.104c96p-4f, -0x1.688238p-5f, -0x1.6f99b0p-19f, 0x1.ba0d54p-6f, 0x1.ba4cccp-6f,
     0x1.f6999ep-7f, 0x1.834732p-8f, 0x1.acece6p-10f, 0x1.5ec0f4p-12f, 0x1.adf696p-15f,
     0x1.8eb8d6p-18f, 0x1.1974c6p-21f, 0x1.2fcaf4p-25f, 0x1.f6fed0p-30f, 0x1.4029cap-34f,
     0.0f},
    {-0x1.abab68p-14f, 0x1.4a34b2p-6f, 0x1.4a32cep-6f, 0x1.8d6d08p-8f, -0x1.26c192p-8f,
     -0x1.84bc74p-8f, -0x1.b393d4p-9f, -0x1.34acd2p-10f, -0x1.3057c6p-12f, -0x1.b29b66p-15f,
     -0x1.cb112cp-18f, -0x1.6b57dap-21f, -0x1.b2a80ap-25f, -0x1.8b4fa4p-29f, -0x1.1289c4p-33f,
     0.0f},
    {0x1.56efb6p-7f, 0x1.2a5cf8p-8f, -0x1.02bc18p-8f, -0x1.7c7876p-8f, -0x1.28782ep-9f,
     0x1.4e91f4p-11f, 0x1.201a50p-10f, 0x1.307ab0p-11f, 0x1.82a12ap-13f, 0x1.4dd8c6p-15f,
     0x1.9bb62ep-18f, 0x1.73ced2p-21f, 0x1.f335d2p-25f, 0x1.f72c1ep-29f, 0x1.7f5592p-33f,
     0.0f},
    {-0x1.3b6534p-10f, -0x1.7c0decp-9f, -0x1.f40a02p-10f, 0x1.735fd8p-11f, 0x1.5b36acp-10f,
     0x1.015dcep-11f, -0x1.e1d1eap-14f, -0x1.729232p-13f, -0x1.4e70d8p-14f, -0x1.63e7b0p-16f,
     -0x1.fd923ep-19f, -0x1.020fdcp-21f, -0x1.7beea2p-25f, -0x1.9d1662p-29f, -0x1.4f4416p-33f,
     0.0f},
};

_Alignas(64) static const float v16_gelu_tanh_table[V16_GELU_POWERS][16] = {
    {-0x1.000000p-1f, -0x1.3bfa4cp-2f, -0x1.453d22p-3f, -0x1.123c8ep-4f, -0x1.73ef8ap-6f,
     -0x1.8b6cccp-8f, -0x1.3dd714p-10f, -0x1.71379ap-13f, -0x1.26a21ep-16f, -0x1.326bd2p-20f,
     -0x1.89be78p-25f, -0x1.284afcp-30f, -0x1.ef18dep-37f, -0x1.b35656p-44f, -0x1.7dba28p-52f,
     0.0f},
    {0x1.988454p-2f, 0x1.685438p-2f, 0x1.ef2638p-3f, 0x1.09c7aep-3f, 0x1.bda57ep-5f,
     0x1.20430ap-6f, 0x1.178beap-8f, 0x1.8546c6p-11f, 0x1.71d174p-14f, 0x1.c650c8p-18f,
     0x1.55ee50p-22f, 0x1.2ae098p-27f, 0x1.1f9912p-33f, 0x1.20af22p-40f, 0x1.1e2bc6p-48f,
     0.0f},
    {-0x1.3ccdbcp-21f, -0x1.69822cp-4f, -0x1.ee612ap-4f, -0x1.8c0a92p-4f, -0x1.bbc042p-5f,
     -0x1.6d2560p-6f, -0x1.b82bc8p-8f, -0x1.77c7b4p-10f, -0x1.b0a040p-13f, -0x1.3e473ap-16f,
     -0x1.1b91b0p-20f, -0x1.2213c4p-25f, -0x1.431002p-31f, -0x1.736998p-38f, -0x1.a20896p-46f,
     0.0f},
    {-0x1.11a584p-4f, -0x1.677f9cp-5f, 0x1.ac41e8p-12f, 0x1.b5d318p-6f, 0x1.b3ee46p-6f,
     0x1.fa7232p-7f, 0x1.90722ap-8f, 0x1.b21162p-10f, 0x1.367a54p-12f, 0x1.16a7e2p-15f,
     0x1.29fbbap-19f, 0x1.68d836p-24f, 0x1.d6c270p-30f, 0x1.3b1e9ap-36f, 0x1.9d22a2p-44f,
     0.0f},
    {-0x1.b483b0p-14f, 0x1.4f2622p-6f, 0x1.47e2e8p-6f, 0x1.78482ap-8f, -0x1.19e000p-8f,
     -0x1.786532p-8f, -0x1.bd6e2cp-9f, -0x1.46c670p-10f, -0x1.2e76e0p-12f, -0x1.553a4ep-15f,
     -0x1.c14fd2p-19f, -0x1.4a57e4p-23f, -0x1.036d02p-28f, -0x1.9ff956p-35f, -0x1.44e87cp-42f,
     0.0f},
    {0x1.5edf58p-7f, 0x1.285916p-8f, -0x1.132748p-8f, -0x1.735ac2p-8f, -0x1.150854p-9f,
     0x1.135358p-11f, 0x1.12426cp-10f, 0x1.41f440p-11f, 0x1.a1cae0p-13f, 0x1.37769cp-15f,
     0x1.04e1f8p-18f, 0x1.d9d4c6p-23f, 0x1.bf846ap-28f, 0x1.a3f5f2p-34f, 0x1.74f28ep-41f,
     0.0f},
    {-0x1.4746dap-10f, -0x1.60891ep-9f, -0x1.02a630p-9f, 0x1.8762b2p-11f, 0x1.4651f6p-10f,
     0x1.ec893cp-12f, -0x1.1fa79ep-14f, -0x1.69904ap-13f, -0x1.748274p-14f, -0x1.7471e6p-16f,
     -0x1.80fbe4p-19f, -0x1.987ac2p-23f, -0x1.b09ec4p-28f, -0x1.b88aa8p-34f, -0x1.9d2ad6p-41f,
     0.0f},
};

#endif
